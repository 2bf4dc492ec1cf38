//! What a container may not do, whatever is in it.

mod confinement;
mod escapes;
mod hostile;
mod kernel;
mod privileges;
mod surroundings;
