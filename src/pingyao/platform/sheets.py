"""What every worksheet needs before it goes to a printer or into a PDF."""

from typing import Any


def printable(sheet: Any, footer: str = "", *, header: bool = True) -> None:
    """Lays a worksheet out on A4 across, all columns on one page, numbered.

    Args:
        footer: what stands at the left of every page's foot.
        header: whether the first row is repeated on every page.
    """
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.set_footer(f"&L{footer.replace('&', '&&')}&R第 &P 页，共 &N 页")
    if header:
        sheet.repeat_rows(0)
