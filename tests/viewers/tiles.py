"""A server of map tiles that tell where they are; ``python tiles.py STATUS`` prints its port."""

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from rasterio.io import MemoryFile


def tile(column, row):
    """Make a PNG whose red and green tell where a pixel is in it, whose blue tells which it is."""
    place = np.arange(256, dtype="u1")
    bands = np.stack(
        [
            np.broadcast_to(place, (256, 256)),
            np.broadcast_to(place[:, None], (256, 256)),
            np.full((256, 256), blue_of(column, row), "u1"),
        ]
    )
    with MemoryFile() as memory:
        with memory.open(driver="PNG", width=256, height=256, count=3, dtype="uint8") as out:
            out.write(bands)
        return memory.read()


def blue_of(column, row):
    """Return the blue of a tile; neighbours differ."""
    return (column * 50 + row * 110) % 256


class Tiles(BaseHTTPRequestHandler):
    """Answers /z/x/y.png, or what the server is told to."""

    def do_GET(self):
        """Return a tile."""
        if self.path == "/asked":
            self.answer(json.dumps(self.server.asked).encode(), "application/json")
            self.server.asked.clear()
            return
        self.server.asked.append(self.path)
        found = re.fullmatch(r"/(\d+)/(\d+)/(\d+)\.png(\?.*)?", self.path)
        if self.server.status != 200 or not found:
            self.send_error(self.server.status if found else 404)
            return
        z, x, y = (int(n) for n in found.groups()[:3])
        self.answer(tile(x, y) if max(x, y) < 2**z else b"", "image/png")

    def answer(self, body, kind):
        """Send something."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Return nothing."""


class Server(ThreadingHTTPServer):
    """Takes the connections of a program that opens many at once."""

    request_queue_size = 128


def main(status):
    """Serve until killed."""
    server = Server(("127.0.0.1", 0), Tiles)
    server.status, server.asked = status, []
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
