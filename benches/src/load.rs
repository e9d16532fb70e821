//! Load on a running server over loopback UDP: requests with a known answer each, every answer checked, what is missing
//! counted, latency from the intended send time, CPU time of the server from `/proc`.

mod auth;
mod cpu;
mod histogram;
mod reply;
mod request;
mod run;

pub use auth::{Algorithm, Auth, Tokens};
pub use cpu::{CpuTime, cpu_of};
pub use histogram::Histogram;
pub use request::Kind;
pub use run::{Pace, Plan, Report, run};
