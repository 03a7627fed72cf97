"""The figures of a consumer process, put together: what is counted, and what is looked at."""

import logging
import os
from functools import partial
from pathlib import Path
from typing import Final

from consumer.amqp.consume import Consumer
from consumer.amqp.queue_sampler import QueueSampler
from consumer.cli.cautions import CAUTIONED, cautions
from consumer.cli.flow import flow
from consumer.core.durations import format_duration
from consumer.core.handled import Followup, Handled
from consumer.core.waiting import places
from consumer.daemon import HOLDS
from consumer.ledger.ledger import Ledger
from consumer.ledger.none import NoLedger
from consumer.ops.breaker_figures import BreakerFigures
from consumer.ops.flow_figures import FlowFigures
from consumer.ops.ledger_figures import LedgerFigures
from consumer.ops.log_figures import LogFigures
from consumer.ops.metrics import Metrics
from consumer.ops.queue_figures import QueueFigures
from consumer.ops.retention_figures import RetentionFigures
from consumer.ops.setting_figures import show_cautions
from consumer.settings import Settings
from consumer.smtp.relays import Relays
from publisher_lib.routing import Lane

SUPERVISOR: Final = "SUPERVISE_PID"
"""Set for the processes of `hopmail run`: the parent of each."""

SAMPLING_WORKER: Final = 0
LEAVE_SECONDS: Final = 1.0


class Measuring:
    """Figures in a file of this process, and of the queues in that of the host's first one."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._metrics = Metrics(
            folder,
            settings.worker,
            # Who is supervised otherwise is not counted by us.
            processes=settings.processes if SUPERVISOR in os.environ else 1,
            relays=[relay.place for relay in settings.relays],
            delays=[format_duration(delay) for delay in settings.retry_delays],
        )
        found = cautions(settings)
        show_cautions(self._metrics.registry, {name: name in found for name in CAUTIONED})
        self.dead_letter_removed = RetentionFigures(self._metrics.registry).removed
        self._sampler = self._queue_sampler() if settings.worker == SAMPLING_WORKER else None
        self._is_started = False
        logging.getLogger().addHandler(LogFigures(self._metrics.registry))

    def attach(self, consumer: Consumer, relays: Relays, ledger: Ledger | NoLedger) -> None:
        """Have these looked at whenever the file is written."""
        registry = self._metrics.registry
        self._metrics.watch(
            is_connected=lambda: consumer.is_connected,
            is_ledger_in_trouble=lambda: ledger.is_in_trouble,
        )
        BreakerFigures(registry, lambda: relays.troubles)
        ledger.time_writes(LedgerFigures(registry, lambda: ledger.size_bytes).wrote)
        FlowFigures(registry, partial(flow, consumer, relays, self._settings.trusted_logins), HOLDS)

    def ledger_unopened(self) -> None:
        """Show that the ledger is waited for, from now on."""
        self._metrics.ledger_unopened()
        self.start()

    def start(self) -> None:
        """Begin to write, if that is not done yet."""
        if self._is_started:
            return
        self._is_started = True
        self._metrics.start()
        if self._sampler is not None:
            self._sampler.start()

    def stop(self) -> None:
        """Write no more, and leave no file behind."""
        if self._sampler is not None:
            self._sampler.close(LEAVE_SECONDS)
        self._metrics.remove()

    def record(self, *records: Handled) -> None:
        """Count settled deliveries. Thread-safe."""
        self._metrics.record(*records)
        if self._sampler is not None:
            for handled in records:
                self._sampler.took(handled.delivery)

    def copied(self, lane: Lane, copy: Followup) -> None:
        """Count a copy that took the place of a delivery that was not handled. Thread-safe."""
        self._metrics.copied(lane, copy)

    def heartbeat(self) -> None:
        """Note that the daemon's main loop turns."""
        self._metrics.heartbeat()

    def _queue_sampler(self) -> QueueSampler:
        settings = self._settings
        figures = QueueFigures(self._metrics.registry, places(settings.retry_delays))
        return QueueSampler(
            settings.amqp_urls, settings.retry_delays, settings.state_dir, figures.show
        )
