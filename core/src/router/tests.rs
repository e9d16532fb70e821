//! Tables of decisions, one snapshot of them all, and the property that nobody gets out who may not.

mod fixture;
mod matrix;
mod outside;
mod plans;
