"""The tokenizer service: text to token ids."""

import sys

from triptych_servicekit.command import main
from triptych_tokenizer.application import TokenizerApplication
from triptych_tokenizer.settings import TokenizerSettings

if __name__ == "__main__":
    sys.exit(main(TokenizerSettings, TokenizerApplication, __doc__ or ""))
