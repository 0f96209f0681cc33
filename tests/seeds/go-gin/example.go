// A small service for parcels, to have something that needs a web framework.
package main

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

func main() {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.GET("/parcels/:number", parcel)
	if err := router.Run(":8080"); err != nil {
		panic(err)
	}
}

func parcel(c *gin.Context) {
	number := strings.ToUpper(c.Param("number"))
	c.JSON(http.StatusOK, gin.H{"parcel": number, "digits": len(number)})
}
