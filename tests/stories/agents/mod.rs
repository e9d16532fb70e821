//! User agents of the engine at a server of the engine: registered, published, watched, written to.

mod net;
mod registered;
mod standing;
