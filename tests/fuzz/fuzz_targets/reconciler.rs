//! What of `src/reconciler` the targets need.

#[path = "../../../src/reconciler/news.rs"]
pub mod news;
#[path = "../../../src/reconciler/table.rs"]
mod table;
#[path = "../../../src/reconciler/translate.rs"]
pub mod translate;
