//! Every metric that Banyan has: its name, kind, labels and meaning, side by side.

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts durations by size.
    Histogram,
}

/// A metric's name and meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// The whole name, as a query has it.
    pub name: &'static str,
    /// What kind of number.
    pub kind: Kind,
    /// Names of its labels, in the order of a series' values.
    pub labels: &'static [&'static str],
    /// What it means, in a sentence.
    pub help: &'static str,
}

macro_rules! families {
    ($($variant:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        /// A metric. Its labels' values come from settings or from fixed sets, never from a client.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Family {
            $(#[doc = $help] $variant,)+
        }

        impl Family {
            /// All of them, in the order in which they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Name, kind, labels and meaning.
            #[must_use]
            pub const fn describe(self) -> Description {
                match self {
                    $(Self::$variant => Description {
                        name: $name,
                        kind: Kind::$kind,
                        labels: &[$($label),*],
                        help: $help,
                    },)+
                }
            }
        }
    };
}

families! {
    // The data plane's, one tally for each core.
    RequestDuration Histogram "http_server_request_duration_seconds"
        ["http_request_method", "http_response_status_code", "http_route", "url_scheme"]
        "Time from the first byte of a request to the last byte of its answer, or to an open tunnel.";
    BackendRequestDuration Histogram "banyan_backend_request_duration_seconds" ["backend", "server"]
        "Time from the choice of a server to the head of its answer, connecting included.";
    RequestsInFlight Gauge "banyan_requests_in_flight" ["listener"]
        "Exchanges under way.";
    BackendRequestsInFlight Gauge "banyan_backend_requests_in_flight" ["backend"]
        "Exchanges under way with a backend.";
    BackendConnections Gauge "banyan_backend_connections" ["backend", "state"]
        "Connections to a backend's servers, by what they do: idle or busy.";
    BackendConnects Counter "banyan_backend_connects_total" ["backend"]
        "Requests for which a connection to a backend had to be opened, because none was kept.";
    BackendRetries Counter "banyan_backend_retries_total" ["backend"]
        "Servers tried after the first one failed.";
    BackendAnswers Counter "banyan_backend_answers_total" ["backend", "class"]
        "Requests that led to a backend, by how they ended: 1xx to 5xx, none (the client left first), or failover (another backend was asked).";
    Failovers Counter "banyan_failovers_total" ["backend", "to", "cause"]
        "Requests that a second backend was asked because the first failed, by how it did: an error type of RFC 9209, or its status.";
    FlagFailovers Counter "banyan_flag_failovers_total" ["flag", "variant"]
        "Requests that another backend was asked than the one that a flag's variant meant, because that one failed: they count against the variant.";
    FailoversRefused Counter "banyan_failovers_refused_total" ["backend", "to", "why"]
        "Requests whose backend failed and that were not passed to the fallback, by why: rate, full or body.";
    VersionPicks Counter "banyan_version_picks_total" ["backend", "by"]
        "Requests of backends that list their servers by version, by what chose the version: header, query, path, cookie, new (by weight) or moved (by weight, as its own is gone).";
    AssetsLookedFor Counter "banyan_assets_looked_for_total" ["backend", "outcome"]
        "Hashed assets that a backend did not have, by what came of looking elsewhere: found, nowhere, or full (a core looks for 64 at once).";
    RetriesRefused Counter "banyan_retries_refused_total" ["backend"]
        "Requests that were not tried again because their route's budget was used up.";
    Hedges Counter "banyan_hedges_total" ["backend", "outcome"]
        "Requests that took longer than 95 of 100 on their route, by what came of a second server: won, lost, failed (both), or not asked: budget, full.";
    Shed Counter "banyan_shed_total" ["of", "why"]
        "Requests that a route, squad or backend had no room for, by why: rate, address, visitor, full, displaced, queue-timeout or connections.";
    Waiting Gauge "banyan_waiting" ["of"]
        "Requests that wait for a seat at a squad or backend now.";
    KeptBytes Gauge "banyan_kept_body_bytes" []
        "Bytes of requests' bodies that are kept to be sent to a second backend.";
    FlagDecisions Counter "banyan_flag_decisions_total" ["flag", "variant", "reason"]
        "Decisions of a flag.";
    FlagErrors Counter "banyan_flag_errors_total" ["flag", "error"]
        "Decisions of a flag that failed, so that its default was given, by OpenFeature's error code.";
    DrainedExchanges Counter "banyan_drained_exchanges_total" ["flag", "variant"]
        "WebSockets, streams and downloads that were ended because their flag's variant was switched off.";
    Refusals Counter "banyan_refusals_total" ["reason", "side"]
        "Requests that Banyan answered itself because it could or would not pass them on (RFC 9209 error types).";
    Malformed Counter "banyan_malformed_messages_total" ["what"]
        "Messages that were not HTTP, or had more than one reading.";
    VisitorCookies Counter "banyan_visitor_cookies_total" ["state"]
        "Requests by the state of their visitor cookie.";
    CarriedIgnored Counter "banyan_carried_ignored_total" ["cookie", "cause"]
        "Pins and overrides that browsers brought and that did not count, by cause.";
    GateChecks Counter "banyan_gate_checks_total" ["outcome"]
        "Requests by what the gate said.";
    Lookups Counter "banyan_lookups_total" ["whom", "outcome"]
        "Questions that the gate needed answered by others (legacy, introspection), by what came of each; joined: another request had asked it just then. keys: requests that waited for the issuer's first keys after a start.";
    LookupsInFlight Gauge "banyan_lookups_in_flight" []
        "Questions under way; at most 256 on each core, beyond it they count as busy.";
    LookupAnswers Gauge "banyan_lookup_answers" ["kind"]
        "Answers remembered, of somebody and of nobody; at most 4,096 of each on each core.";
    Verifications Counter "banyan_gate_verifications_total" ["outcome"]
        "Tokens that a core had not seen, by whether their signature was verified at_once, or waited for its turn, or was not: too_many waited, or it was too_late.";
    VerificationsWaiting Gauge "banyan_gate_verifications_waiting" []
        "Requests whose token waits for its turn to be verified; at most 256 on each core, beyond it they get 503.";
    GateDecisions Counter "banyan_gate_decisions_total" ["http_route", "reason", "mode"]
        "Requests of routes that ask who it is, by why they passed or not; mode `report` counts what a dry run let pass.";
    SignIns Counter "banyan_sign_ins_total" ["outcome"]
        "Sign-ins at the identity provider: pages that sent somebody (sent; stepped_up: somebody known, for another sign-in), begun, again (it came back without what was asked), done, declined, or why they failed.";
    SessionChecks Counter "banyan_session_checks_total" ["outcome"]
        "Sessions that were checked at the identity provider: renewed, or why they were not.";
    SignOuts Counter "banyan_sign_outs_total" ["outcome"]
        "Sign-outs: done (here), back_channel (by the identity provider), or why a logout token was refused.";
    Aborted Counter "banyan_exchanges_aborted_total" ["side"]
        "Exchanges cut short, by who went away.";
    Received Counter "banyan_received_bytes_total" ["listener"]
        "Bytes of request bodies.";
    Sent Counter "banyan_sent_bytes_total" ["listener"]
        "Bytes of answers' bodies.";
    Connections Counter "banyan_connections_total" ["listener", "protocol"]
        "Connections taken, by the protocol agreed on.";
    ConnectionsOpen Gauge "banyan_connections_open" ["listener", "protocol"]
        "Connections open now.";
    ConnectionFailures Counter "banyan_connection_failures_total" ["listener", "stage"]
        "Connections that ended badly, by stage: accept, handshake, head, body, write.";
    Timeouts Counter "banyan_timeouts_total" ["listener", "stage"]
        "Limits of time that a client reached: handshake, head, body, write, idle.";
    TlsHandshakes Counter "banyan_tls_handshakes_total" ["version", "resumed"]
        "TLS handshakes that succeeded.";
    TunnelsOpen Gauge "banyan_tunnels_open" ["protocol"]
        "WebSockets and other tunnels open now.";
    FlagStreamsOpen Gauge "banyan_flag_streams_open" ["listener"]
        "Pages and programs that are told of changes of flags now.";
    FlagQuestionsRefused Counter "banyan_flag_questions_refused_total" ["listener", "why"]
        "OFREP questions and streams that were not answered, by why: body, busy, foreign or share.";
    Compressing Gauge "banyan_compressing" ["encoding"]
        "Answers that are being compressed now; at most `compressing_max` on each core.";
    CompressionsRefused Counter "banyan_compressions_refused_total" ["encoding"]
        "Answers that went out as they were because `compressing_max` others were being compressed.";
    CompressionTaken Counter "banyan_compression_input_bytes_total" ["encoding"]
        "Bytes of answers before they were compressed.";
    CompressionGiven Counter "banyan_compression_output_bytes_total" ["encoding"]
        "Bytes of answers after they were compressed.";
    CacheRequests Counter "banyan_cache_requests_total" ["http_route", "result"]
        "Requests of routes that cache, by what the cache was to them: hit, miss, stale, revalidated, collapsed or bypass.";
    CacheSent Counter "banyan_cache_sent_bytes_total" ["http_route", "result"]
        "Bytes of the bodies that those requests were answered with.";
    LogLinesDropped Counter "banyan_access_log_lines_dropped_total" ["cause"]
        "Access-log lines that were not written: queue_full or write_error.";
    DrillFaults Counter "banyan_drill_faults_total" ["route", "what"]
        "Faults that drills put in on purpose: delay, abort, cut or throttle.";
    Panics Counter "banyan_panics_total" []
        "Exchanges that ended in a fault of Banyan itself.";

    // The control plane's.
    ConfigLastReloadSuccessful Gauge "banyan_config_last_reload_successful" []
        "Whether the last change of settings was taken whole: 1 or 0.";
    ConfigLastReloadTimestamp Gauge "banyan_config_last_reload_timestamp_seconds" []
        "When settings were last taken.";
    ConfigVersion Gauge "banyan_config_version" []
        "Number of the snapshot that serves.";
    ConfigReloads Counter "banyan_config_reloads_total" ["result"]
        "Changes of settings, by result: applied, partial, refused or unchanged.";
    SquadFileStale Gauge "banyan_squad_file_stale" ["squad"]
        "Whether a squad is served by its last good file because the present one is broken: 1 or 0.";
    CertNotAfter Gauge "banyan_cert_not_after_timestamp_seconds" ["name"]
        "When a certificate ends.";
    ServerHealthy Gauge "banyan_server_healthy" ["backend", "server"]
        "Whether a server takes traffic: 1 or 0.";
    GateKeysFetches Counter "banyan_gate_keys_fetches_total" ["outcome"]
        "Times that the issuer's keys were read anew, by outcome: good, failed or dropped (too old to be believed any longer).";
    GateKeysFetched Gauge "banyan_gate_keys_fetched_timestamp_seconds" []
        "When the issuer's keys were last read.";
    KeyLastUsed Gauge "banyan_key_last_used_timestamp_seconds" ["key"]
        "When a machine's key was last used, to the minute; 0: not since the start. At most 4,096 keys.";
    KeyNotAfter Gauge "banyan_key_not_after_timestamp_seconds" ["key"]
        "When a machine's key ends.";
    ServerEjected Gauge "banyan_server_ejected" ["backend", "server"]
        "Whether a server is left alone by what live traffic tells: 1 or 0.";
    ServerEjections Counter "banyan_server_ejections_total" ["backend", "server", "reason"]
        "How often a server was taken out by what live traffic told, by reason: failures, error-share, slow, probe.";
    ServerPicks Counter "banyan_server_picks_total" ["backend", "server"]
        "Requests, attempts counted, for which a server was chosen.";
    ServerRequestsInFlight Gauge "banyan_server_requests_in_flight" ["backend", "server"]
        "Exchanges under way with a server, within the last second.";
    ServerLatency Gauge "banyan_server_latency_seconds" ["backend", "server"]
        "How long a server takes to answer as it is weighed when one is chosen: peaks show at once and fade within seconds.";
    BreakerOpen Gauge "banyan_backend_breaker_open" ["backend"]
        "Whether a whole backend is left alone: 1 or 0.";
    BreakerOpenings Counter "banyan_backend_breaker_openings_total" ["backend"]
        "How often a whole backend was left alone.";
    BulkheadUsed Gauge "banyan_bulkhead_used" ["kind", "name", "what"]
        "What a backend or squad has of what it may have at once: in_flight, queue, connections, kept_bytes.";
    BulkheadMax Gauge "banyan_bulkhead_max" ["kind", "name", "what"]
        "What a backend or squad may have at once; in_flight of an adaptive one is the limit now.";
    Generation Gauge "banyan_handover_generation" []
        "How many programs have served since the first one was started, with this one: one more with each hand-over.";
    Handovers Counter "banyan_handovers_total" ["outcome"]
        "Programs that came to take over from this one: done, refused, or failed, which changed nothing.";
    HandoverConnections Gauge "banyan_handover_connections" ["state"]
        "Connections of the program before this one: open, drained (finished in peace), or cut when the window was over.";
    DrillsActive Gauge "banyan_drills_active" []
        "Drills under way: faults are put in on purpose.";
    RoomInside Gauge "banyan_room_inside" ["room"]
        "Seats of a waiting room that are taken.";
    RoomLimit Gauge "banyan_room_inside_max" ["room"]
        "Seats of a waiting room.";
    RoomWaiting Gauge "banyan_room_waiting" ["room"]
        "Numbers of a waiting room that are not called yet, and lots before it opens; some of their holders may have gone.";
    RoomEstimate Gauge "banyan_room_estimate_seconds" ["room", "bound"]
        "How long the last in line will wait at least (from) and at most (to), where that can be told.";
    RoomAdmitted Counter "banyan_room_admitted_total" ["room"]
        "Visitors who took a seat of a waiting room.";
    RoomExpired Counter "banyan_room_expired_total" ["room"]
        "Seats of a waiting room that were given back because their visitors asked nothing for too long.";
    RoomMissed Counter "banyan_room_missed_total" ["room"]
        "Called numbers of a waiting room for which nobody came.";
    RoomHeldBack Counter "banyan_room_held_back_total" ["room"]
        "Requests that a waiting room answered.";
    RoomBypassed Counter "banyan_room_bypassed_total" ["room"]
        "Requests that passed a waiting room without being counted as inside.";
    RoomTicketsRefused Counter "banyan_room_tickets_refused_total" ["room"]
        "Tickets of a waiting room that did not count: changed, somebody else's, or of another life of the program.";
    AdminRequests Counter "banyan_admin_requests_total" ["who_kind", "outcome"]
        "Requests to the admin listener, by who asked (nobody, token, role, session, cli) and what the door said.";
    SessionsRevoked Gauge "banyan_sessions_revoked" []
        "Sessions and users that are remembered as signed out; beyond 16,384 everybody has to sign in again.";
    CacheEntries Gauge "banyan_cache_entries" []
        "Answers that the cache keeps.";
    CacheBytes Gauge "banyan_cache_bytes" ["of"]
        "Bytes that the cache takes: for small answers, for large ones (above 1 MiB), and for those that are being collected.";
    CacheBytesMax Gauge "banyan_cache_bytes_max" ["of"]
        "Bytes that the cache may take: `[cache] memory` less `large`, `large`, and `collecting`.";
    CacheKept Counter "banyan_cache_kept_total" []
        "Answers that the cache took in or refreshed.";
    CacheEvictions Counter "banyan_cache_evictions_total" ["of"]
        "Answers that went from the cache to make room, small or large.";
    CacheRefused Counter "banyan_cache_refused_total" ["why"]
        "Answers that were passed on and not kept, by why: large, labels, purged (on their way), or full (`collecting`).";
    CacheDiskEntries Gauge "banyan_cache_disk_entries" []
        "Answers that lie on the cache's disk.";
    CacheDiskBytes Gauge "banyan_cache_disk_bytes" []
        "Bytes that answers take on the cache's disk.";
    CacheDiskBytesMax Gauge "banyan_cache_disk_bytes_max" []
        "Bytes that they may take: `[cache] disk_bytes`.";
    CacheDiskReads Counter "banyan_cache_disk_reads_total" []
        "Answers read back from the cache's disk.";
    CacheDiskWrites Counter "banyan_cache_disk_writes_total" []
        "Answers written to the cache's disk.";
    CacheDiskErrors Counter "banyan_cache_disk_errors_total" []
        "What could not be read or written on the cache's disk, or was not as it was written.";
    CacheDiskDropped Counter "banyan_cache_disk_dropped_total" []
        "Answers that were not written to the cache's disk since too many waited.";
    CachePurges Counter "banyan_cache_purges_total" ["how"]
        "Purges, soft or hard.";
    SnapshotAge Gauge "banyan_snapshot_age_seconds" []
        "Time since the snapshot that serves was published.";
    Cores Gauge "banyan_cores" []
        "Cores that serve traffic.";
    CoresSilent Gauge "banyan_cores_silent" []
        "Cores whose numbers are older than this scrape, since they did not answer in time.";
    BuildInfo Gauge "banyan_build_info" ["version"]
        "Always 1; the version is the label.";

    // The process's.
    Sockets Gauge "banyan_sockets" ["state"]
        "TCP sockets of this process, by state; many in close_wait are a leak.";
    ProcessCpu Counter "process_cpu_seconds_total" []
        "Time that all threads spent on a processor, user and system.";
    ProcessResident Gauge "process_resident_memory_bytes" []
        "Memory resident.";
    ProcessVirtual Gauge "process_virtual_memory_bytes" []
        "Memory mapped.";
    ProcessFdsOpen Gauge "process_open_fds" []
        "File descriptors open.";
    ProcessFdsMax Gauge "process_max_fds" []
        "File descriptors that may be open.";
    ProcessStart Gauge "process_start_time_seconds" []
        "When the process started.";
    ProcessThreads Gauge "process_threads" []
        "Threads of the process.";
}
