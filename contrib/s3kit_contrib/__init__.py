"""What a vendor or a framework defines, on top of s3kit's public names.

If S3 itself defines a thing it belongs in ``s3kit``; if one vendor's product or one framework
does, it belongs here, one module each. This package may import s3kit's public names and
``s3kit.auth``, ``s3kit.store`` ...; s3kit never imports it.
"""

from __future__ import annotations
