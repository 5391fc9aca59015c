//! The environment file: schema, spans, defaults per tier, validation. Pure.
