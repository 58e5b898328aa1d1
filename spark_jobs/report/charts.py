"""Small charts as inline SVG: nothing to load, sharp in print, every mark with its own hover text.

All text passes through `escape`; numbers are formatted by the caller.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup, escape

from spark_jobs.report.palette import BLUE

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 1000, 270, 58, 26, 10


def bucket_days(days: Sequence[dt.date]) -> str:
    """day, week or month: what keeps the columns of a time chart between a few and about sixty."""
    span = (max(days) - min(days)).days + 1 if days else 1
    return "day" if span <= 62 else "week" if span <= 430 else "month"


def bucket_start(day: dt.date, bucket: str) -> dt.date:
    """The first day of the bucket that a day is in; weeks begin on Monday."""
    if bucket == "month":
        return day.replace(day=1)
    return day - dt.timedelta(days=day.weekday()) if bucket == "week" else day


def bucket_range(first: dt.date, last: dt.date, bucket: str) -> list[dt.date]:
    """Every bucket from first to last, so that a gap in the data shows as a gap."""
    starts, current = [], bucket_start(first, bucket)
    while current <= last:
        starts.append(current)
        step = {"day": 1, "week": 7, "month": 32}[bucket]
        current = bucket_start(current + dt.timedelta(days=step), bucket)
    return starts


def nice_ticks(top: float, wanted: int = 4) -> list[float]:
    """Round axis values from 0 that reach `top`."""
    if top <= 0:
        return [0.0, 1.0]
    raw = top / wanted
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    if top >= wanted:
        step = max(1.0, round(step)) if step < 10 else step
    return [i * step for i in range(math.ceil(top / step - 1e-9) + 1)]


def day_label(day: dt.date, bucket: str, with_year: bool) -> str:
    """An axis label: 5 May, May, or with the year."""
    if bucket == "month":
        return f"{day:%b %Y}" if with_year else f"{day:%b}"
    return f"{day.day} {day:%b}" + (f" {day:%Y}" if with_year else "")


def stacked_columns(
    series: Mapping[str, Mapping[dt.date, float]], colours: Mapping[str, str], number: Callable[[float], str], title: str
) -> Markup:
    """Columns over time, one colour per series, the first series at the bottom. Returns '' when there is nothing to draw.

    series: name -> {day: value >= 0}; days are summed into days, weeks or months.
    """
    days = sorted({d for values in series.values() for d in values})
    if not days:
        return Markup("")
    bucket = bucket_days(days)
    starts = bucket_range(days[0], days[-1], bucket)
    sums: dict[str, dict[dt.date, float]] = {}
    for name, values in series.items():
        own = sums.setdefault(name, {})
        for day, value in values.items():
            start = bucket_start(day, bucket)
            own[start] = own.get(start, 0.0) + float(value)
    top = max(sum(own.get(s, 0.0) for own in sums.values()) for s in starts)
    ticks = nice_ticks(top)
    plot_height, plot_width = HEIGHT - BOTTOM - TOP, WIDTH - LEFT
    slot = plot_width / len(starts)
    width = min(slot * 0.78, 46)

    def y(value: float) -> float:
        return TOP + plot_height * (1 - value / ticks[-1])

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" class="chart">']
    for tick in ticks:
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" class="axis end">{escape(number(tick))}</text>')
    with_year = starts[0].year != starts[-1].year
    every = max(1, math.ceil(len(starts) / 9))
    for i, start in enumerate(starts):
        x = LEFT + i * slot + (slot - width) / 2
        base = 0.0
        label = {"day": "", "week": "week of ", "month": ""}[bucket] + day_label(start, bucket, True)
        for name, own in sums.items():
            value = own.get(start, 0.0)
            if value <= 0:
                continue
            parts.append(
                f'<rect x="{x:.1f}" y="{y(base + value):.1f}" width="{width:.1f}" height="{max(y(base) - y(base + value), 0.4):.1f}" '
                f'fill="{colours[name]}"><title>{escape(label)} · {escape(name)}: {escape(number(value))}</title></rect>'
            )
            base += value
        if i % every == 0:
            parts.append(
                f'<text x="{x + width / 2:.1f}" y="{HEIGHT - 6}" class="axis mid">{escape(day_label(start, bucket, with_year))}</text>'
            )
    parts.append("</svg>")
    return Markup("".join(parts))


def sparkline(values: Mapping[dt.date, float], number: Callable[[float], str], title: str, colour: str = BLUE) -> Markup:
    """A small filled line over time, from 0; one point draws a level line. Returns '' when there is nothing to draw."""
    if not values:
        return Markup("")
    width, height = 260, 54
    days = sorted(values)
    top = max(max(float(v) for v in values.values()), 1e-9)
    span = max((days[-1] - days[0]).days, 1)
    points = [((d - days[0]).days / span * width, height - 4 - float(values[d]) / top * (height - 10)) for d in days]
    if len(points) == 1:
        points.append((float(width), points[0][1]))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    ends = (f"{number(float(values[d]))} on {day_label(d, 'day', True)}" for d in (days[0], days[-1]))
    text = escape(f"{title}: {', '.join(ends)}")
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{text}" class="spark" preserveAspectRatio="none">'
        f"<title>{text}</title>"
        f'<polygon points="0,{height} {line} {width},{height}" fill="{colour}" opacity=".14"/>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2" '
        'vector-effect="non-scaling-stroke" stroke-linejoin="round"/></svg>'
    )
