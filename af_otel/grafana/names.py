"""Names of metrics in Prometheus: ours, and those of others that dashboards query."""

from __future__ import annotations

import re

from af_otel_semconv import metrics

UNITS = {"s": "_seconds", "By": "_bytes"}  # Prometheus appends the unit, but not one in braces.

# Emitted by the hub, Jupyter servers, Dask, kubelets and the Collector under names of their choice.
_NATIVE = """
jupyterhub_server_spawn_duration_seconds jupyterhub_running_servers jupyterhub_total_users
jupyterhub_active_users jupyterhub_request_duration_seconds jupyterhub_login_duration_seconds
jupyterhub_proxy_add_duration_seconds jupyterhub_server_poll_duration_seconds
jupyterhub_event_loop_interval_seconds jupyterhub_server_stop_seconds
kernel_currently_running_total terminal_currently_running_total
jupyter_server_last_activity_timestamp_seconds
dask_scheduler_tasks dask_scheduler_workers dask_scheduler_desired_workers dask_scheduler_clients
dask_scheduler_workers_added_total dask_scheduler_workers_removed_total
dask_scheduler_tasks_suspicious_total dask_scheduler_tasks_output_bytes
dask_scheduler_tick_duration_maximum_seconds dask_scheduler_gc_collection_seconds_total
dask_worker_tasks dask_worker_threads dask_worker_latency_seconds dask_worker_memory_bytes
dask_worker_transfer_incoming_bytes dask_worker_transfer_outgoing_bytes
dask_worker_transfer_outgoing_bytes_total dask_worker_transfer_incoming_count_total
dask_worker_transfer_outgoing_count_total dask_worker_spill_bytes_total
dask_worker_tick_duration_maximum_seconds dask_worker_tick_duration_median_seconds
dask_worker_task_duration_median_seconds dask_worker_transfer_bandwidth_median_bytes
process_cpu_seconds_total process_resident_memory_bytes process_open_fds
process_start_time_seconds node_cpu_usage_seconds_total node_memory_working_set_bytes
pod_cpu_usage_seconds_total pod_memory_working_set_bytes container_cpu_usage_seconds_total
container_memory_working_set_bytes container_start_time_seconds container_fs_usage_bytes
container_fs_limit_bytes kubelet_volume_stats_used_bytes kubelet_volume_stats_capacity_bytes
kubelet_volume_stats_available_bytes otelcol_receiver_accepted_spans
otelcol_receiver_accepted_metric_points otelcol_receiver_refused_spans
otelcol_receiver_refused_metric_points otelcol_receiver_failed_spans
otelcol_receiver_failed_metric_points otelcol_exporter_sent_spans
otelcol_exporter_sent_metric_points otelcol_exporter_send_failed_spans
otelcol_exporter_send_failed_metric_points otelcol_exporter_enqueue_failed_spans
otelcol_exporter_enqueue_failed_metric_points otelcol_exporter_queue_size
otelcol_exporter_queue_capacity otelcol_processor_tail_sampling_global_count_traces_sampled
otelcol_process_memory_rss otelcol_process_cpu_seconds otelcol_process_uptime up target_info
scrape_samples_scraped
"""
NATIVE = frozenset(_NATIVE.split())
# What the Collector derives from spans, and what users and operators send under any name.
MADE = (
    re.compile(r"traces_span_metrics_(calls_total|duration_seconds)"),
    re.compile(r"(user|facility)_\w+"),
)
_PARTS = re.compile(r"_(bucket|count|sum|total)$")


def prometheus_name(instrument: metrics.Instrument) -> str:
    """Return the name of an instrument in Prometheus, without the suffix of its type."""
    return instrument.name.replace(".", "_") + UNITS.get(instrument.unit, "")


OURS = frozenset(
    prometheus_name(item) for item in vars(metrics).values() if isinstance(item, metrics.Instrument)
)


def is_known(name: str) -> bool:
    """Return whether a metric with this name is known to be emitted."""
    alike = {name, _PARTS.sub("", name)}
    if alike & OURS or alike & NATIVE:
        return True
    return any(pattern.fullmatch(each) for pattern in MADE for each in alike)
