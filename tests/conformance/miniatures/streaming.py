"""Wrong about making the image file independent."""

from tests.conformance.miniatures._image import Image
from tests.conformance.miniatures._table import breaks


def clear_runs(image):
    return [(first, stop) for first, stop, is_set in image.bitmap.runs(0, image.units) if not is_set]


@breaks("ACW-DYN-012")
class StreamLeavesOutTheLastUnit(Image):
    """Whoever ends a loop one step too early."""

    def next_clear(self):
        piece = super().next_clear()
        if piece is None or piece[0] == self.units - 1:
            return None
        return piece[0], min(piece[1], self.units - 1)


@breaks("ACW-DYN-012")
class StreamSetsNoBits(Image):
    """Whoever copies data, and does not say so."""

    def stream(self, *, stop=None):
        with self.lock:
            self.check_writing()
            for piece in clear_runs(self):
                if stop and stop():
                    return False
                self.copy(*piece)
            self.make_durable()
        return True


@breaks("ACW-DYN-012")
class StreamSetsBitsFirst(Image):
    """Whoever claims units before copying them, so that nobody else does."""

    def stream(self, *, stop=None):
        with self.lock:
            self.check_writing()
            pieces = clear_runs(self)
            for piece in pieces:
                self.bitmap.set(*piece)
            for unit in (unit for piece in pieces for unit in range(*piece)):
                if stop and stop():
                    return False
                self.copy(unit, unit + 1)
            self.make_durable()
        return True


@breaks("ACW-DYN-012")
class StreamLeavesZerosToChance(Image):
    """Whoever has nothing to copy beyond the end of the backing file."""

    def copy(self, first, stop):
        if first * self.header.unit < (self.backing.size if self.backing else 0):
            super().copy(first, stop)


@breaks("ACW-DYN-012")
class StreamCopiesOverWhatWasWritten(Image):
    """Whoever copies the backing file from its beginning to its end."""

    def stream(self, *, stop=None):
        with self.lock:
            self.check_writing()
            for unit in range(self.units):
                if stop and stop():
                    self.make_durable()
                    return False
                self.copy(unit, unit + 1)
                self.bitmap.set(unit, unit + 1)
            self.make_durable()
        return True


@breaks("ACW-DYN-012")
class StoppedStreamSaysThatItIsDone(Image):
    """Whoever has one way out of a loop."""

    def stream(self, *, stop=None):
        super().stream(stop=stop)
        return True


@breaks("ACW-DYN-004")
class StreamForReadingIsTaken(Image):
    """Whoever checks for each unit that it may be written, and meets none."""

    def stream(self, *, stop=None):
        return False if stop and stop() else super().stream(stop=stop)


@breaks("ACW-DYN-006")
class StreamWaitsForNobody(Image):
    """Whoever streams an image that nobody uses, and then lets somebody use it."""

    def stream(self, *, stop=None):
        self.check_writing()
        while not (stop and stop()):
            if not self.stream_piece():
                self.flush()
                return True
        self.flush()
        return False
