"""Record the measurements of the user's OpenTelemetry API with instruments of ours."""

from __future__ import annotations

import functools
from types import GeneratorType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from opentelemetry.metrics import Observation
from opentelemetry.metrics import _internal as own_metrics

from af_otel.runtime._bridge._harmless import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider

# The kinds of instruments; those that measure when they are called, and their methods for it.
_MEASURED = {
    "Counter": "add",
    "UpDownCounter": "add",
    "Histogram": "record",
    "Gauge": "set",
}
_OBSERVED = ("ObservableCounter", "ObservableUpDownCounter", "ObservableGauge")
_CREATE = {
    "Counter": "create_counter",
    "UpDownCounter": "create_up_down_counter",
    "Histogram": "create_histogram",
    "Gauge": "create_gauge",
    "ObservableCounter": "create_observable_counter",
    "ObservableUpDownCounter": "create_observable_up_down_counter",
    "ObservableGauge": "create_observable_gauge",
}


def join(package: Any, meters: Any) -> None:
    api = package._internal  # noqa: SLF001
    if api is own_metrics:  # exposed
        api._PROXY_METER_PROVIDER.on_set_meter_provider(meters)  # noqa: SLF001
        return
    instruments = _Instruments(package, meters)
    for kind, create in _CREATE.items():
        proxy = getattr(api, f"_Proxy{kind}", None)
        if proxy is None:
            continue  # gauges came with 1.23
        if kind in _MEASURED:
            instruments.forward(proxy, _MEASURED[kind])
        instruments.follow(api._ProxyMeter, create, proxy)  # noqa: SLF001
    for meter in list(api._PROXY_METER_PROVIDER._meters):  # noqa: SLF001
        for instrument in list(meter._instruments):  # noqa: SLF001
            kind = type(instrument).__name__.removeprefix("_Proxy")
            instruments.add(meter, _CREATE[kind], instrument)


class _Instruments:
    """Our instruments behind the proxies of the user's."""

    def __init__(self, package: Any, meters: MeterProvider) -> None:
        self._package = package
        self._meters = meters
        self._ours: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def add(self, meter: Any, create: str, proxy: Any) -> None:
        """Make the instrument of ours behind one of the user's."""
        ours: Meter = self._meters.get_meter(
            meter._name,  # noqa: SLF001
            meter._version,  # noqa: SLF001
            meter._schema_url,  # noqa: SLF001
        )
        if "observable" not in create:
            self._ours[proxy] = proxy._create_real_instrument(ours)  # noqa: SLF001
            return
        self._ours[proxy] = getattr(ours, create)(
            proxy._name,  # noqa: SLF001
            [self._callback(proxy, one) for one in proxy._callbacks or ()],  # noqa: SLF001
            proxy._unit,  # noqa: SLF001
            proxy._description,  # noqa: SLF001
        )

    def follow(self, meter_class: Any, create: str, proxy_class: type[Any]) -> None:
        """Add an instrument whenever the user makes one."""
        original = getattr(meter_class, create)
        add = harmless(self.add)

        def made(meter: Any, *args: Any, **kwargs: Any) -> Any:
            instrument = original(meter, *args, **kwargs)
            if type(instrument) is proxy_class:
                add(meter, create, instrument)
            return instrument

        setattr(meter_class, create, made)

    def forward(self, proxy_class: Any, method: str) -> None:
        """Have our instrument record what the user's is given, unless a provider of theirs does."""
        original = getattr(proxy_class, method)
        ours = self._ours

        @harmless
        def record(proxy: Any, amount: Any, attributes: Any = None, context: Any = None) -> None:  # noqa: ARG001
            if proxy._real_instrument is None and proxy in ours:  # noqa: SLF001
                getattr(ours[proxy], method)(amount, attributes)

        @functools.wraps(original)
        def measure(proxy: Any, *args: Any, **kwargs: Any) -> None:
            original(proxy, *args, **kwargs)
            record(proxy, *args, **kwargs)

        setattr(proxy_class, method, measure)

    def _callback(self, proxy: Any, callback: Any) -> Callable[[CallbackOptions], Iterable[Any]]:
        if isinstance(callback, GeneratorType):
            next(callback)
            callback = callback.send
        options_class = self._package.CallbackOptions

        def observe(options: CallbackOptions) -> Iterator[Observation]:
            if proxy._real_instrument is None:  # noqa: SLF001
                for one in callback(options_class(options.timeout_millis)):
                    yield Observation(one.value, one.attributes)

        return observe
