"""Converts temperatures over HTTP."""

from flask import Flask, jsonify
from waitress import serve

app = Flask(__name__)


@app.get("/celsius/<float(signed=True):degrees>")
def fahrenheit(degrees):
    return jsonify(celsius=degrees, fahrenheit=round(degrees * 9 / 5 + 32, 1))


if __name__ == "__main__":
    serve(app, port=5000)
