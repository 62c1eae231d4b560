"""The receiver of callbacks: reads them within bounds, checks who signed them, and keeps what they name. It decides
nothing, asks nobody, and answers everything with 204."""
