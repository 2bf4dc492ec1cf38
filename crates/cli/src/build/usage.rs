//! `buildx du`: what the cache of builds holds.

use corten_api::system::BuildCache;
use corten_template::Value;

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    formatter::Format,
    opts::size::human,
};

/// `buildx du`.
pub(super) static COMMAND: Command = Command::new("", "Show what the cache of builds holds", usage)
    .arity(Arity::None)
    .flags(&[
        &[
            Flag::filter("Show only what fits the condition (for example \"type=regular\")"),
            Flag::string("format", "How to write the list, by a Go template, or \"json\""),
            Flag::switch("verbose", "Show everything of each record"),
        ],
        super::BUILDER,
    ]);

const TABLE: &str = "{{.ID}}\t{{.Reclaimable}}\t{{.Size}}\t{{.LastUsedAt}}";
const HEADINGS: [(&str, &str); 11] = [
    ("ID", "ID"),
    ("Reclaimable", "RECLAIMABLE"),
    ("Size", "SIZE"),
    ("LastUsedAt", "LAST ACCESSED"),
    ("CreatedAt", "CREATED AT"),
    ("Description", "DESCRIPTION"),
    ("Mutable", "MUTABLE"),
    ("Parents", "PARENTS"),
    ("Shared", "SHARED"),
    ("Type", "TYPE"),
    ("UsageCount", "USAGE COUNT"),
];

fn usage(cli: &Cli, m: &Matches) -> Result<()> {
    let client = cli.client()?;
    let usage = cli.wait(async { Ok(client.disk_usage().await?) })?;
    let mut records = usage.build_cache.unwrap_or_default();
    for filter in m.all("filter") {
        let condition = Condition::read(filter)?;
        records.retain(|record| condition.is_met(record));
    }
    records.sort_by_key(|record| std::cmp::Reverse(record.size));
    let format = m.get("format");
    if m.on("verbose") {
        records.iter().for_each(|record| cli.out(&whole(record)));
    } else {
        let rows: Vec<Value> = records.iter().map(row).collect();
        cli.print(&Format::new(format, TABLE).render(&HEADINGS, &rows)?);
    }
    if format.is_empty() || m.on("verbose") {
        totals(cli, &records);
    }
    Ok(())
}

fn totals(cli: &Cli, records: &[BuildCache]) {
    let sum = |wanted: fn(&BuildCache) -> bool| records.iter().filter(|r| wanted(r)).map(|r| r.size).sum::<i64>();
    cli.out(&format!("Shared:\t\t{}", bytes(sum(|record| record.shared))));
    cli.out(&format!("Private:\t{}", bytes(sum(|record| !record.shared))));
    cli.out(&format!(
        "Reclaimable:\t{}",
        bytes(sum(|record| !record.in_use && !record.shared))
    ));
    cli.out(&format!("Total:\t\t{}", bytes(sum(|_| true))));
}

/// A filter: `type=regular`, `inuse=false`, `id=beginning`, or a field alone.
struct Condition<'a> {
    field: &'a str,
    value: &'a str,
}

impl<'a> Condition<'a> {
    fn read(text: &'a str) -> Result<Self> {
        let (field, value) = text.split_once('=').unwrap_or((text, "true"));
        match field {
            "id" | "type" | "description" | "inuse" | "mutable" | "immutable" | "shared" | "private" => {
                Ok(Self { field, value })
            }
            field => Err(Error::new(format!("ERROR: invalid filter {field:?}"))),
        }
    }

    fn is_met(&self, record: &BuildCache) -> bool {
        let is = |fact: bool| self.value == fact.to_string();
        match self.field {
            "id" => record.id.starts_with(self.value),
            "type" => record.kind == self.value,
            "description" => record.description.contains(self.value),
            "inuse" => is(record.in_use),
            "mutable" => is(is_mutable(record)),
            "immutable" => is(!is_mutable(record)),
            "shared" => is(record.shared),
            _ => is(!record.shared),
        }
    }
}

fn is_mutable(record: &BuildCache) -> bool {
    record.kind == "exec.cachemount"
}

fn row(record: &BuildCache) -> Value {
    let used = record.last_used_at.as_ref().map(ToString::to_string);
    Value::record(
        "*commands.duContext",
        vec![
            ("ID", record.id.as_str().into()),
            ("Parents", record.parents.join(",").into()),
            ("CreatedAt", record.created_at.to_string().into()),
            ("Mutable", is_mutable(record).to_string().into()),
            ("Reclaimable", (!record.in_use).to_string().into()),
            ("Shared", record.shared.to_string().into()),
            ("Size", bytes(record.size).into()),
            ("Description", record.description.as_str().into()),
            ("UsageCount", record.usage_count.to_string().into()),
            ("LastUsedAt", used.unwrap_or_default().into()),
            ("Type", record.kind.as_str().into()),
        ],
    )
}

/// A record by its id, with all that is known of it, if it is known.
pub(crate) fn record(id: &str, records: &[BuildCache]) -> String {
    let found = records.iter().find(|record| record.id == id);
    found.map_or_else(|| id.to_owned(), whole)
}

fn whole(record: &BuildCache) -> String {
    format!(
        "ID:\t\t{}\nCreated at:\t{}\nMutable:\t{}\nReclaimable:\t{}\nShared:\t\t{}\nSize:\t\t{}\nDescription:\t{}\n\
         Usage count:\t{}\nType:\t\t{}\n",
        record.id,
        record.created_at,
        is_mutable(record),
        !record.in_use,
        record.shared,
        bytes(record.size),
        record.description,
        record.usage_count,
        record.kind
    )
}

#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
fn bytes(count: i64) -> String {
    human(count as f64)
}
