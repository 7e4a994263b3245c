//! A row, its report, and the table of all reports.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use crate::scene::Stage;

type Run = for<'a> fn(&'a Stage) -> Pin<Box<dyn Future<Output = Report> + 'a>>;

/// An entry of a module's list of rows.
pub struct Row {
    pub number: u8,
    pub name: &'static str,
    pub on_a_real_server: bool,
    /// The row's requirements, which may be missing where `tests/run` has not installed them.
    pub needs: Option<fn() -> Result<(), &'static str>>,
    pub run: Run,
}

/// The list of a module's rows.
macro_rules! rows {
    ($($number:literal $name:ident $(($real:ident))? $(needs $needs:path)?),* $(,)?) => {
        pub fn rows() -> Vec<crate::report::Row> {
            vec![$(
                crate::report::Row {
                    number: $number,
                    name: stringify!($name),
                    on_a_real_server: [$(stringify!($real))?].contains(&"real"),
                    needs: [$($needs as fn() -> Result<(), &'static str>)?].first().copied(),
                    run: |stage| Box::pin($name(stage)),
                }
            ),*]
        }
    };
}
pub(crate) use rows;

/// A row's results. A row reports only if all assertions hold.
#[derive(Debug)]
pub struct Report {
    /// The evidence of the fault, with its count.
    pub fired: String,
    /// The assertions made.
    pub held: String,
    /// Time from the fault's end, or its start if it has no end, until the guarantees hold.
    pub recovery: Option<Duration>,
    /// Changes without a webhook.
    pub lost: usize,
    /// Webhooks delivered more than once under one id, which at-least-once delivery permits.
    pub resent: usize,
    /// Changes reported under two ids.
    pub doubled: usize,
}

#[derive(Default)]
pub struct Table {
    rows: BTreeMap<(&'static str, u8, &'static str), Result<Report, String>>,
}

impl Table {
    pub fn add(&mut self, on: &'static str, row: &Row, report: Result<Report, String>) {
        // The simulated node first.
        let on = if on == "simulated" { "" } else { on };
        self.rows.insert((on, row.number, row.name), report);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "| row | fault | fired | held | recovery | events lost | duplicates (resent, reported twice) |\n\
             |---|---|---|---|---|---|---|"
        )?;
        for ((on, number, name), report) in &self.rows {
            let name = name.replace('_', " ");
            let on = if on.is_empty() {
                String::new()
            } else {
                format!(" ({on})")
            };
            match report {
                Ok(report) => {
                    let recovery = report
                        .recovery
                        .map_or_else(|| "–".to_owned(), |took| format!("{took:.1?}"));
                    writeln!(
                        f,
                        "| {number} | {name}{on} | {} | yes: {} | {recovery} | {} | {}, {} |",
                        report.fired, report.held, report.lost, report.resent, report.doubled
                    )?;
                }
                Err(why) => {
                    let why = why.replace(['\n', '|'], " ");
                    writeln!(f, "| {number} | {name}{on} | ? | NO: {why} | – | ? | ? |")?;
                }
            }
        }
        Ok(())
    }
}

/// The message of a panic.
pub fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}
