//! Limits of a container: the service's own, and those of `deploy`, which come first.

use corten_api::container::{DeviceMapping, DeviceRequest, Resources, ThrottleDevice, Ulimit, WeightDevice};

use super::some;
use crate::model::{self, Service};

pub(super) fn of(service: &Service) -> Resources {
    let mut resources = Resources {
        cpu_shares: service.cpu_shares,
        memory: service.mem_limit.0,
        nano_cpus: nano(service.cpus),
        cgroup_parent: service.cgroup_parent.clone(),
        cpu_period: service.cpu_period,
        cpu_quota: service.cpu_quota,
        cpu_realtime_period: service.cpu_rt_period,
        cpu_realtime_runtime: service.cpu_rt_runtime,
        cpuset_cpus: service.cpuset.clone(),
        devices: some(&devices(service)),
        device_cgroup_rules: some(&service.device_cgroup_rules),
        device_requests: some(&requests(service)),
        memory_reservation: service.mem_reservation.0,
        memory_swap: service.memswap_limit.0,
        memory_swappiness: (service.mem_swappiness.0 != 0).then_some(service.mem_swappiness.0),
        oom_kill_disable: service.oom_kill_disable.then_some(true),
        pids_limit: (service.pids_limit != 0).then_some(service.pids_limit),
        ulimits: some(&ulimits(service)),
        cpu_count: service.cpu_count,
        cpu_percent: hundredths(service.cpu_percent),
        ..Resources::default()
    };
    if let Some(blkio) = &service.blkio_config {
        add_blkio(&mut resources, blkio);
    }
    if let Some(deploy) = &service.deploy {
        if let Some(limits) = &deploy.resources.limits {
            add_limits(&mut resources, limits);
        }
        if let Some(reserved) = &deploy.resources.reservations {
            if reserved.memory.0 != 0 {
                resources.memory_reservation = reserved.memory.0;
            }
            let requests = resources.device_requests.get_or_insert_default();
            requests.extend(reserved.devices.iter().map(device_request));
            if requests.is_empty() {
                resources.device_requests = None;
            }
        }
    }
    resources
}

/// Processors in units of 10⁻⁹; the value has few digits, which single precision would blur.
fn nano(cpus: f32) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a number of processors")]
    let millis = (f64::from(cpus) * 1_000_000.0).round() as i64;
    millis.saturating_mul(1_000)
}

/// Percents as Compose sends them, for engines on Windows.
fn hundredths(percent: f32) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a number of percents")]
    let hundredths = (f64::from(percent) * 100.0).round() as i64;
    hundredths
}

fn add_limits(resources: &mut Resources, limits: &model::Resource) {
    if limits.memory.0 != 0 {
        resources.memory = limits.memory.0;
    }
    if limits.cpus.0 != 0.0 {
        resources.nano_cpus = nano(limits.cpus.0);
    }
    if limits.pids > 0 {
        resources.pids_limit = Some(limits.pids);
    }
}

fn add_blkio(resources: &mut Resources, blkio: &model::BlkioConfig) {
    let throttle = |devices: &[model::ThrottleDevice]| {
        let devices = devices.iter().map(|device| ThrottleDevice {
            path: device.path.clone(),
            rate: u64::try_from(device.rate.0).unwrap_or(0),
        });
        some(&devices.collect::<Vec<_>>())
    };
    let weights = blkio.weight_device.iter().map(|device| WeightDevice {
        path: device.path.clone(),
        weight: device.weight,
    });
    resources.blkio_weight = blkio.weight;
    resources.blkio_weight_device = some(&weights.collect::<Vec<_>>());
    resources.blkio_device_read_bps = throttle(&blkio.device_read_bps);
    resources.blkio_device_read_iops = throttle(&blkio.device_read_iops);
    resources.blkio_device_write_bps = throttle(&blkio.device_write_bps);
    resources.blkio_device_write_iops = throttle(&blkio.device_write_iops);
}

fn devices(service: &Service) -> Vec<DeviceMapping> {
    let own = service.devices.iter().filter(|device| !is_cdi(device));
    let devices = own.map(|device| DeviceMapping {
        path_on_host: device.source.clone(),
        path_in_container: device.target.clone(),
        cgroup_permissions: device.permissions.clone(),
    });
    devices.collect()
}

/// Whether it is no path but the name of a device of the Container Device Interface: `vendor.com/class=name`.
fn is_cdi(device: &model::DeviceMapping) -> bool {
    let Some((kind, name)) = device.source.split_once('=') else {
        return false;
    };
    let is_kind = kind
        .split_once('/')
        .is_some_and(|(vendor, class)| !vendor.is_empty() && !class.is_empty() && !class.contains('/'));
    device.source == device.target && is_kind && !name.is_empty()
}

/// Devices that somebody has to find: those of the Container Device Interface, and GPUs.
fn requests(service: &Service) -> Vec<DeviceRequest> {
    let named = service.devices.iter().filter(|device| is_cdi(device));
    let ids: Vec<_> = named.map(|device| device.source.clone()).collect();
    let cdi = (!ids.is_empty()).then(|| DeviceRequest {
        driver: "cdi".to_owned(),
        device_ids: Some(ids),
        ..DeviceRequest::default()
    });
    cdi.into_iter().chain(service.gpus.iter().map(gpu)).collect()
}

fn device_request(device: &model::DeviceRequest) -> DeviceRequest {
    DeviceRequest {
        driver: device.driver.clone(),
        count: device.count.0,
        device_ids: some(&device.ids),
        capabilities: Some(vec![device.capabilities.clone()]),
        options: Some(device.options.0.clone()),
    }
}

/// A device of `gpus`, which can at least what GPUs can.
fn gpu(device: &model::DeviceRequest) -> DeviceRequest {
    let mut request = device_request(device);
    for list in request.capabilities.iter_mut().flatten() {
        list.push("gpu".to_owned());
    }
    request
}

fn ulimits(service: &Service) -> Vec<Ulimit> {
    let limits = service.ulimits.iter().filter_map(|(name, limit)| {
        let limit = (*limit)?;
        let (soft, hard) = match limit.single {
            0 => (limit.soft, limit.hard),
            single => (single, single),
        };
        let name = name.clone();
        Some(Ulimit { name, hard, soft })
    });
    limits.collect()
}
