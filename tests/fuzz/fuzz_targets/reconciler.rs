//! The parts of `src/reconciler` that the targets need.

#[path = "../../../src/reconciler/conference_list.rs"]
mod conference_list;
#[path = "../../../src/reconciler/table.rs"]
mod table;
#[path = "../../../src/reconciler/translate.rs"]
pub mod translate;
#[path = "../../../src/reconciler/variables.rs"]
mod variables;
