//! Kubernetes objects as data: connection with fresh tokens, server-side apply, diff, prune, wait by watch.
