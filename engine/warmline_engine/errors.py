"""The errors of the engine.

EngineError                 every error the engine reports; `code` is stable and goes over the wire
├── ModelError              a model that cannot be served
│   ├── ConfigError             a config.json of no family, or with what is not served
│   ├── CheckpointError         weights missing, misshapen, truncated or pickled
│   ├── TokenizerError          a tokenizer.json missing or of no use
│   └── SourceError             a model that is not where it was looked for
├── RetrievalError          the index of a workspace cannot be used
│   ├── IndexBusy               another process holds the database for too long
│   └── IndexFull               there is no room on the disk
└── DocumentError           a frame that does not fit the document it names
    ├── UnknownDocument         the document is not open
    ├── DocumentLimit           it is too long, or a client has too many
    └── OutOfSync               an edit or offset outside the text, or a version going back
"""

from __future__ import annotations


class EngineError(Exception):
    code = "engine_error"


class ModelError(EngineError):
    code = "model"


class ConfigError(ModelError):
    code = "model_config"


class CheckpointError(ModelError):
    code = "model_checkpoint"


class TokenizerError(ModelError):
    code = "model_tokenizer"


class SourceError(ModelError):
    code = "model_source"


class RetrievalError(EngineError):
    code = "retrieval"


class IndexBusy(RetrievalError):
    code = "index_busy"


class IndexFull(RetrievalError):
    code = "index_full"


class DocumentError(EngineError):
    code = "document"


class UnknownDocument(DocumentError):
    code = "unknown_document"


class OutOfSync(DocumentError):
    code = "out_of_sync"


class DocumentLimit(DocumentError):
    code = "document_limit"
