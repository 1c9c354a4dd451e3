"""Every metric of the exchange: its name and what it says. Pure.

Dashboards and alert rules may ask for these and no others; a test compares. HELP is what
/metrics prints; LABELS names the labels behind the dots of a name as services report it.
"""

from typing import Final

HELP: Final = {
    # of the exchange, by health
    "rtes_build_info": "Which instance answers.",
    "rtes_healthy": "1 healthy, 0.5 degraded, 0 unhealthy.",
    "rtes_ready": "1 when every critical service is ready.",
    "rtes_live": "1 while the aggregator's own loop runs.",
    "rtes_snapshots_malformed_total": "Snapshots that could not be read.",
    "rtes_service_status": "1 healthy, 0.5 degraded, 0 unhealthy.",
    "rtes_snapshot_age_seconds": "Since the service was last heard of.",
    "rtes_service_start_timestamp_seconds": "When the service started.",
    "rtes_health_check_status": "1 healthy, 0.5 degraded, 0 unhealthy.",
    "rtes_health_check_runs_total": "Runs of the check, by result.",
    "rtes_error_rate": "Share of orders of the last minute that the exchange itself failed.",
    "rtes_deployment_status": "1 while idle, in progress or after success; 0 after a failure.",
    "rtes_deployment_phase": "1 for the phase that the deployment is in.",
    "rtes_deployment_phase_start_timestamp_seconds": "Since when it is in that phase.",
    "rtes_tls_cert_not_after_timestamp_seconds": "When the certificate in use expires.",
    "rtes_memory_ratio": "Memory in use, of the limit of the control group or the host.",
    "rtes_disk_free_bytes": "Free on the disk of the journal.",
    "rtes_disk_free_ratio": "Free on the disk of the journal, of its size.",
    # every service
    "rtes_process_cpu_seconds_total": "CPU time of the process.",
    "rtes_process_resident_memory_bytes": "Resident memory of the process.",
    "rtes_sequence": "Last sequence number executed, indexed or published.",
    "rtes_feed_lag": "Commands behind the matcher.",
    "rtes_feed_gaps": "Gaps seen in the feed; they are filled from the archive.",
    # gateway
    "rtes_orders_total": "Orders: at the gateway taken, busy (too much: come again) or failed "
    "(what is behind stands still); by the books accepted, refused or filled.",
    "rtes_cancels_total": "Cancel requests taken.",
    "rtes_rejects_total": "Messages that could not be read.",
    "rtes_reports_total": "Reports told to participants.",
    "rtes_bans_total": "Keys banned for a while: too much, or what could not be read.",
    "rtes_ignored_total": "Messages of banned keys, passed over.",
    "rtes_sessions": "Open sessions.",
    "rtes_queue_depth": "Requests taken that the matcher has not acknowledged.",
    "rtes_order_ack_seconds": "From an order's arrival at the gateway to its report.",
    "rtes_throttled": "1 while the emergency leaves sessions a share of their rate.",
    "rtes_circuit_breaker_state": "0 closed, 1 half-open, 2 open: nothing moves between gateway "
    "and matcher, and orders are told BUSY.",
    "rtes_flag_evaluations_total": "Evaluations of feature flags, by flag and variant.",
    # risk
    "rtes_risk_checked_total": "Commands checked.",
    "rtes_link_held": "Commands sent to the matcher and not acknowledged yet.",
    # matcher
    "rtes_blocks_total": "Blocks journaled.",
    "rtes_commands_total": "Commands executed.",
    "rtes_frames_bad_total": "Frames that could not be read.",
    "rtes_link_frames_dropped": "Frames that came twice or too early.",
    "rtes_read_only": "1 while the disk is full and only cancels are taken.",
    "rtes_symbols_halted": "Symbols that take only cancels: a kill switch or the emergency.",
    "rtes_open_orders": "Orders resting in the books.",
    "rtes_order_latency_seconds": "From arrival at the gateway to a stage: risk, matcher.",
    # archive, snapshotter, market data
    "rtes_snapshots_total": "Snapshots saved.",
    "rtes_snapshot_sequence": "Last sequence number that the newest snapshot holds.",
    "rtes_journal_damaged": "Segments of the journal that are damaged on disk.",
    "rtes_replays_total": "Replay requests answered.",
    "rtes_market_data_messages_total": "Frames published.",
    "rtes_market_data_requests_total": "Snapshot and retransmission requests.",
    "rtes_delivery_seconds": "From execution to arrival in the service, journaling included.",
    "rtes_orders_rejected_total": "Orders refused, by code of the catalogue.",
    "rtes_trades_total": "Trades.",
    "rtes_traded_notional_total": "Value of all trades, in the currency.",
    "rtes_traded_quantity_total": "Quantity traded, in lots.",
}

# several names: a value has as many dots
LABELS: Final = {
    "rtes_circuit_breaker_state": "downstream",
    "rtes_flag_evaluations_total": "flag variant",
    "rtes_orders_rejected_total": "code",
    "rtes_order_latency_seconds": "stage",
    "rtes_traded_notional_total": "currency",
    "rtes_deployment_phase": "phase",
}
