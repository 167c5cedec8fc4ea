"""The postprocess service: vectors to answers."""

import sys

from triptych_postprocess.application import PostprocessApplication
from triptych_postprocess.settings import PostprocessSettings
from triptych_servicekit.command import main

if __name__ == "__main__":
    sys.exit(main(PostprocessSettings, PostprocessApplication, __doc__ or ""))
