//! What is installed into the cluster: platform objects, Argo CD.
