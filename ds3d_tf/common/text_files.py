"""Text files as people have them: UTF-8, UTF-16 of Windows, or Windows' Western encoding."""

from __future__ import annotations

import codecs

from ds3d_tf.common.errors import InputError

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def decode_text(content: bytes, where: str) -> str:
    """Return the text of bytes in UTF-8, UTF-16 with its mark, or Windows-1252; line ends become ``\\n``.

    Raises InputError, naming ``where``, if they are not a text.
    """
    marked = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        # Nearly all bytes are letters of Windows-1252, so that a file of numbers would pass for a text.
        if encoding == "cp1252" and any(ord(letter) < 32 and letter not in "\t\n\r\f" for letter in text):
            break
        return text.replace("\r\n", "\n").replace("\r", "\n")
    raise InputError(f"{where}: not a text file; save it as UTF-8")
