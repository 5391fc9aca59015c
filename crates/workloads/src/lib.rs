//! Argo CD project and applications for Redis; waiting for revisions.
