"""Seals over the trail: hashes that show whether anything of it was altered, removed or added since."""

from .digests import Digest, Digests, read_digests, sign, stamp
from .erasing import Erasure, Subject, column_names, counted, erase, rewrite, subject, transactions_of_actor
from .finding import SealFinding
from .proofs import Proven, prove, read_proof, verify_proof
from .sealing import mark_anchored, newest_to_anchor, seal
from .verifying import verify_seals

__all__ = [
    "Digest",
    "Digests",
    "Erasure",
    "Proven",
    "SealFinding",
    "Subject",
    "column_names",
    "counted",
    "erase",
    "mark_anchored",
    "newest_to_anchor",
    "prove",
    "read_digests",
    "read_proof",
    "rewrite",
    "seal",
    "sign",
    "stamp",
    "subject",
    "transactions_of_actor",
    "verify_proof",
    "verify_seals",
]
