"""What `python -m awslambdaric tests.handlers.lambda_entry.<name>` runs."""

import os

from handlers.http import Entry, serve
from tests.handlers.lambda_apps import Paths

handler = serve(Paths, os.environ)
without_seams = Entry(Paths, streaming=True, seams=False)
