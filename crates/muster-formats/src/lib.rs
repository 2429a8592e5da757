//! Parsers and serializers of metrics, one file each, as pure functions.
