"""Makes the table of faults and cases; `make miniatures` does it. On two processors it takes some minutes."""

from concurrent.futures import ProcessPoolExecutor

from tests.conformance.miniatures import MINIATURES
from tests.conformance.miniatures._document import DOCUMENT, row_of, score_of, text_of


def main():
    """Try all miniatures, and write the document."""
    with ProcessPoolExecutor() as pool:
        rows = list(pool.map(row_of, MINIATURES))
    DOCUMENT.write_text(text_of(rows), "utf-8")
    print(score_of(rows))


if __name__ == "__main__":
    main()
