//! User agents of the engine at a server of the engine: registered, published, watched, written to, called.

mod calls;
mod hostile;
mod net;
mod registered;
mod standing;
mod web;
