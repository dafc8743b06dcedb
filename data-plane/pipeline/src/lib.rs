//! The journey of a request, a file per phase.
