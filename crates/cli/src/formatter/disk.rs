//! `system df`.

use corten_api::{container, system::DiskUsage};

use super::{Format, ago, container as containers, image as images, short_id, volume as volumes};
use corten_template::Value;

use crate::{
    error::Result,
    opts::size::{float, human},
};

/// The default table.
pub(crate) const TABLE: &str = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";

/// The headings.
pub(crate) const HEADINGS: [(&str, &str); 5] = [
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

/// A kind of object in sum.
struct Sum {
    kind: &'static str,
    type_name: &'static str,
    total: usize,
    active: usize,
    size: i64,
    reclaimable: i64,
    percent: bool,
}

impl Sum {
    fn row(&self) -> Value {
        let reclaimable = human(float(self.reclaimable));
        let reclaimable = if self.percent && self.size > 0 {
            format!("{reclaimable} ({}%)", self.reclaimable.saturating_mul(100) / self.size)
        } else {
            reclaimable
        };
        Value::record(
            self.type_name,
            vec![
                ("Active", self.active.to_string().into()),
                ("Reclaimable", reclaimable.into()),
                ("Size", human(float(self.size)).into()),
                ("TotalCount", self.total.to_string().into()),
                ("Type", self.kind.into()),
            ],
        )
    }
}

fn is_active(container: &container::Summary) -> bool {
    ["running", "paused", "restarting"].contains(&container.state.as_str())
}

/// The rows.
pub(crate) fn rows(usage: &DiskUsage) -> Vec<Value> {
    [
        image_sum(usage),
        container_sum(usage),
        volume_sum(usage),
        cache_sum(usage),
    ]
    .iter()
    .map(Sum::row)
    .collect()
}

fn image_sum(usage: &DiskUsage) -> Sum {
    let images = usage.images.as_deref().unwrap_or_default();
    let used: i64 = images
        .iter()
        .filter(|i| i.containers != 0 && i.size != -1 && i.shared_size != -1)
        .map(|i| i.size - i.shared_size)
        .sum();
    Sum {
        kind: "Images",
        type_name: "*formatter.diskUsageImagesContext",
        total: images.len(),
        active: images.iter().filter(|i| i.containers > 0).count(),
        size: usage.layers_size,
        reclaimable: usage.layers_size - used,
        percent: true,
    }
}

fn container_sum(usage: &DiskUsage) -> Sum {
    let containers = usage.containers.as_deref().unwrap_or_default();
    let size = |c: &container::Summary| c.size_rw.unwrap_or(0);
    Sum {
        kind: "Containers",
        type_name: "*formatter.diskUsageContainersContext",
        total: containers.len(),
        active: containers.iter().filter(|c| is_active(c)).count(),
        size: containers.iter().map(size).sum(),
        reclaimable: containers.iter().filter(|c| !is_active(c)).map(size).sum(),
        percent: true,
    }
}

fn volume_sum(usage: &DiskUsage) -> Sum {
    let known: Vec<_> = usage
        .volumes
        .iter()
        .flatten()
        .map(|v| v.usage_data.clone().unwrap_or_default())
        .collect();
    let size = |u: &corten_api::volume::UsageData| u.size.max(0);
    Sum {
        kind: "Local Volumes",
        type_name: "*formatter.diskUsageVolumesContext",
        total: known.len(),
        active: known.iter().filter(|u| u.ref_count > 0).count(),
        size: known.iter().map(size).sum(),
        reclaimable: known.iter().filter(|u| u.ref_count == 0).map(size).sum(),
        percent: true,
    }
}

fn cache_sum(usage: &DiskUsage) -> Sum {
    let cache = usage.build_cache.as_deref().unwrap_or_default();
    Sum {
        kind: "Build Cache",
        type_name: "*formatter.diskUsageBuilderContext",
        total: cache.len(),
        active: cache.iter().filter(|c| c.in_use).count(),
        size: cache.iter().filter(|c| !c.shared).map(|c| c.size).sum(),
        reclaimable: cache.iter().filter(|c| !c.shared && !c.in_use).map(|c| c.size).sum(),
        percent: false,
    }
}

/// Everything, object by object.
pub(crate) fn verbose(usage: &DiskUsage) -> Result<String> {
    let mut text = String::from("Images space usage:\n\n");
    let rows: Vec<_> = usage
        .images
        .iter()
        .flatten()
        .flat_map(|i| images::rows(i, true, false))
        .collect();
    let format = Format::new(
        "",
        "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
    );
    text.push_str(&format.render(&images::HEADINGS, &rows)?);

    text.push_str("\nContainers space usage:\n\n");
    let rows: Vec<_> = usage.containers.iter().flatten().map(own_size).collect();
    let format = Format::new(
        "",
        "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
    );
    text.push_str(&format.render(&containers::HEADINGS, &rows)?);

    text.push_str("\nLocal Volumes space usage:\n\n");
    let rows: Vec<_> = usage.volumes.iter().flatten().map(volumes::row).collect();
    let format = Format::new("", "{{.Name}}\t{{.Links}}\t{{.Size}}");
    text.push_str(&format.render(&volumes::HEADINGS, &rows)?);

    text.push_str(&format!(
        "\nBuild cache usage: {}\n\n",
        human(float(cache_sum(usage).size))
    ));
    let rows: Vec<_> = usage.build_cache.iter().flatten().map(cache_row).collect();
    let format = Format::new(
        "",
        "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}",
    );
    text.push_str(&format.render(&CACHE_HEADINGS, &rows)?);
    Ok(text)
}

/// A container without the size of its image.
fn own_size(container: &container::Summary) -> Value {
    let mut container = container.clone();
    container.size_root_fs = None;
    containers::row(&container, true)
}

const CACHE_HEADINGS: [(&str, &str); 7] = [
    ("ID", "CACHE ID"),
    ("CacheType", "CACHE TYPE"),
    ("Size", "SIZE"),
    ("CreatedSince", "CREATED"),
    ("LastUsedSince", "LAST USED"),
    ("UsageCount", "USAGE"),
    ("Shared", "SHARED"),
];

fn cache_row(cache: &corten_api::system::BuildCache) -> Value {
    let id = if cache.in_use {
        format!("{}*", short_id(&cache.id))
    } else {
        short_id(&cache.id).to_owned()
    };
    Value::record(
        "*formatter.buildCacheContext",
        vec![
            ("ID", id.into()),
            ("CacheType", cache.kind.as_str().into()),
            ("Size", human(float(cache.size)).into()),
            ("CreatedSince", ago(cache.created_at.seconds()).into()),
            (
                "LastUsedSince",
                cache.last_used_at.map(|t| ago(t.seconds())).unwrap_or_default().into(),
            ),
            ("UsageCount", cache.usage_count.to_string().into()),
            ("Shared", cache.shared.to_string().into()),
        ],
    )
}
