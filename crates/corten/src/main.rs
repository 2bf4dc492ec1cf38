//! The executable: hands over to the command line, the engine or the runtime.
fn main() {}
