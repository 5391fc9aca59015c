//! Sandbox and live pipelines: one graph out of all layers. The library others embed.
