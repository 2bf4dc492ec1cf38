//! An answer of `GET /containers/{id}/stats`, as the line of a table.

use serde_json::Value as Document;

use crate::formatter::stats::Sample;

fn number(document: &Document, pointer: &str) -> f64 {
    document.pointer(pointer).and_then(Document::as_f64).unwrap_or(0.0)
}

fn text(document: &Document, name: &str) -> String {
    document
        .get(name)
        .and_then(Document::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Reads an answer of `GET /containers/{id}/stats` about what the user called `name`.
pub(super) fn read(name: &str, document: &Document) -> Sample {
    let id = text(document, "id");
    let network = |field: &str| -> f64 {
        let networks = document.get("networks").and_then(Document::as_object);
        networks
            .into_iter()
            .flat_map(|n| n.values())
            .filter_map(|n| n.get(field)?.as_f64())
            .sum()
    };
    let block = |operation: &str| -> f64 {
        let entries = document
            .pointer("/blkio_stats/io_service_bytes_recursive")
            .and_then(Document::as_array);
        entries
            .into_iter()
            .flatten()
            .filter(|e| text(e, "op").eq_ignore_ascii_case(operation))
            .filter_map(|e| e.get("value")?.as_f64())
            .sum()
    };
    Sample {
        container: name.to_owned(),
        id,
        name: text(document, "name"),
        cpu_percent: cpu_percent(document),
        memory: memory(document),
        memory_limit: number(document, "/memory_stats/limit"),
        received: network("rx_bytes"),
        sent: network("tx_bytes"),
        read: block("read"),
        written: block("write"),
        pids: document
            .pointer("/pids_stats/current")
            .and_then(Document::as_i64)
            .unwrap_or(0),
        invalid: false,
    }
}

fn cpu_percent(document: &Document) -> f64 {
    let delta =
        |path: &str| number(document, &format!("/cpu_stats{path}")) - number(document, &format!("/precpu_stats{path}"));
    let (own, host) = (delta("/cpu_usage/total_usage"), delta("/system_cpu_usage"));
    let mut cpus = number(document, "/cpu_stats/online_cpus");
    if cpus == 0.0 {
        let per_cpu = document
            .pointer("/cpu_stats/cpu_usage/percpu_usage")
            .and_then(Document::as_array);
        cpus = per_cpu.map_or(0.0, |list| list.iter().map(|_| 1.0).sum());
    }
    if host > 0.0 && own > 0.0 {
        own / host * cpus * 100.0
    } else {
        0.0
    }
}

/// Memory in use without the page cache that can be given back at once.
fn memory(document: &Document) -> f64 {
    let usage = number(document, "/memory_stats/usage");
    let v1 = number(document, "/memory_stats/stats/total_inactive_file");
    let cache = if document.pointer("/memory_stats/stats/total_inactive_file").is_some() {
        v1
    } else {
        number(document, "/memory_stats/stats/inactive_file")
    };
    if cache < usage { usage - cache } else { usage }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_samples() {
        let document = serde_json::json!({
            "id": "abc", "name": "/a",
            "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
            "memory_stats": {"usage": 1000, "limit": 4000, "stats": {"total_inactive_file": 200}},
            "networks": {"eth0": {"rx_bytes": 5, "tx_bytes": 6}},
            "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 7}]},
            "pids_stats": {"current": 3}
        });
        let sample = read("a", &document);
        assert_eq!(
            (sample.cpu_percent, sample.memory, sample.received, sample.read),
            (40.0, 800.0, 5.0, 7.0)
        );
        assert_eq!(sample.pids, 3);
    }
}
