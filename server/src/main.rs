//! The server's executable; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    strowger::cli::main()
}
