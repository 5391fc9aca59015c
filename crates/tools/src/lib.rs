//! Finds, downloads or builds helm, the control plane, KWOK, Argo CD and moto.
