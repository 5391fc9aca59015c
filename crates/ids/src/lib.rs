//! Addresses, newtypes of ids, typed references. No SDK, no I/O.
