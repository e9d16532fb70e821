//! Tests that need more than one crate. Each layer is one test target of this package:
//!
//! - `stories`: the engine in the simulated world: ladders as snapshots, torture messages, hostile input,
//!   metamorphic tests, crowds.
//! - `corpora`: the committed inputs of the fuzz targets.
//! - `runtimes`: scenarios over real sockets, heard alike from a server on every runtime.
