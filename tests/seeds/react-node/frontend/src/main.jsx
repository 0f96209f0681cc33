import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

function Harbour() {
  const [ships, setShips] = useState([]);
  useEffect(() => {
    fetch("/api/ships")
      .then((answer) => answer.json())
      .then(setShips);
  }, []);
  return (
    <main>
      <h1>Ships in the harbour</h1>
      <ul>
        {ships.map((ship) => (
          <li key={ship.name}>
            {ship.name}, {ship.metres} m
          </li>
        ))}
      </ul>
    </main>
  );
}

createRoot(document.getElementById("root")).render(<Harbour />);
