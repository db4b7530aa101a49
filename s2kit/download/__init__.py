"""Download products: from the Copernicus Data Space Ecosystem into a folder of one's own."""
