//! Config stream to data nodes, and the fleet view.
