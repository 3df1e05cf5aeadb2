// Draws a dashboard with the panel components of Grafana. window.BOARD has the panels and their values (frames.py).
// Log lines and tables are plain HTML.
import React from "react";
import { createRoot } from "react-dom/client";
import { createTheme, dateTime, FieldColorModeId, FieldType, getDisplayProcessor, ThemeContext, toDataFrame } from "@grafana/data";
import { BarGauge, BigValue, BigValueColorMode, BigValueGraphMode, TimeSeries } from "@grafana/ui";
import { GraphDrawStyle, LegendDisplayMode } from "@grafana/schema";

const COLUMNS = 24, GAP = 8, UNIT = 38, TITLE = 30, LINES = 14;
const theme = createTheme({ colors: { mode: "dark" } });
const board = window.BOARD, WIDTH = board.width;
const range = { from: dateTime(board.start), to: dateTime(board.end), raw: { from: "now-1h", to: "now" } };
const column = (WIDTH - (COLUMNS - 1) * GAP) / COLUMNS;
const LEVELS = { error: "red", critical: "dark-red", warning: "yellow" };

function color(name, panel) {
  for (const { matcher, properties } of panel.fieldConfig.overrides) {
    const pattern = matcher.options.slice(1, -1);
    const found = properties.find((each) => each.id === "color");
    if (found && new RegExp(pattern).test(name)) return found.value;
  }
  const mode = panel.type === "timeseries" ? FieldColorModeId.PaletteClassic : FieldColorModeId.Thresholds;
  return { mode };
}

function toFrame(panel, series, index) {
  const { unit, thresholds, custom = {} } = panel.fieldConfig.defaults;
  const values = series.points.map((point) => point[1]);
  const graph = { drawStyle: GraphDrawStyle.Line, fillOpacity: 0, lineWidth: 1, pointSize: 5, showPoints: "auto",
    axisPlacement: "auto", scaleDistribution: { type: "linear" }, stacking: { mode: "none" }, spanNulls: false };
  const frame = toDataFrame({ refId: "A", fields: [
    { name: "Time", type: FieldType.time, values: series.points.map((point) => point[0]), config: {} },
    { name: "Value", type: FieldType.number, labels: series.labels, values, config: {
      displayNameFromDS: series.name, unit, thresholds, color: color(series.name, panel),
      custom: { ...graph, ...custom, stacking: { group: "A", ...graph.stacking, ...custom.stacking } } } },
  ] });
  const [time, value] = frame.fields;
  const numbers = values.filter((each) => each !== null);
  const min = Math.min(...numbers, 0), max = Math.max(...numbers, 0);
  value.state = { seriesIndex: index, displayName: series.name, range: { min, max, delta: max - min } };
  value.display = getDisplayProcessor({ field: value, theme });
  time.display = getDisplayProcessor({ field: time, theme });
  return frame;
}

const last = (series) => series.points.findLast((point) => point[1] !== null)?.[1] ?? null;
const first = (panel, frames) => frames.map((frame, index) => ({ frame, value: frame.fields[1], series: panel.frames[index] }));

function Lines({ panel, height }) {
  return <div style={{ height, overflow: "hidden", fontFamily: "monospace", fontSize: 12 }}>
    {panel.lines.slice(0, LINES).map((line, index) =>
      <div key={index} style={{ whiteSpace: "nowrap", lineHeight: "20px", paddingLeft: 8,
        borderLeft: `3px solid ${theme.visualization.getColorByName(LEVELS[line.level] ?? "green")}` }}>
        {line._time.slice(0, 19).replace("T", " ")}&nbsp; {line._msg}
      </div>)}
  </div>;
}

function Table({ panel }) {
  const names = Object.keys(panel.frames[0].labels);
  const cell = { textAlign: "left", padding: "4px 8px", borderBottom: `1px solid ${theme.colors.border.weak}` };
  return <table style={{ width: "100%", fontSize: 13, borderCollapse: "collapse" }}>
    <thead><tr>{[...names, "Value"].map((name) => <th key={name} style={cell}>{name}</th>)}</tr></thead>
    <tbody>{panel.frames.map((series, index) =>
      <tr key={index}>{[...names.map((name) => series.labels[name]), last(series)].map((text, at) => <td key={at} style={cell}>{text}</td>)}</tr>)}
    </tbody>
  </table>;
}

function Content({ panel, width, height }) {
  if (panel.type === "logs") return <Lines {...{ panel, height }} />;
  if (!panel.frames.length) {
    return <div style={{ height, display: "flex", alignItems: "center", justifyContent: "center", color: theme.colors.text.secondary }}>No data</div>;
  }
  if (panel.type === "table") return <Table panel={panel} />;
  const frames = panel.frames.map((series, index) => toFrame(panel, series, index));
  const parts = first(panel, frames);
  if (panel.type === "stat") {
    return <div style={{ display: "flex" }}>{parts.map(({ value, series }, index) =>
      <BigValue key={index} theme={theme} width={width / parts.length} height={height} colorMode={BigValueColorMode.Value}
        graphMode={BigValueGraphMode.None} value={value.display(last(series))} />)}
    </div>;
  }
  if (panel.type === "bargauge") {
    const max = Math.max(...panel.frames.map(last));
    return parts.map(({ value, series }, index) =>
      <div key={index} style={{ marginBottom: 6 }}>
        <BarGauge theme={theme} width={width} height={Math.min(36, height / parts.length - 6)} orientation="horizontal" displayMode="gradient"
          field={{ ...value.config, min: 0, max }} display={value.display} value={{ ...value.display(last(series)), title: series.name }} />
      </div>);
  }
  return <TimeSeries frames={frames} timeRange={range} timeZone="utc" width={width} height={height} structureRev={1} options={{}}
    legend={{ displayMode: LegendDisplayMode.List, placement: "bottom", calcs: [], showLegend: true }} />;
}

function Panel({ panel }) {
  const { x, y, w, h } = panel.gridPos;
  const width = w * column + (w - 1) * GAP, height = h * UNIT - GAP;
  const place = { position: "absolute", left: x * (column + GAP), top: y * UNIT, width, height };
  if (panel.type === "row") return <div style={{ ...place, fontSize: 18, fontWeight: 500, paddingTop: 4 }}>{panel.title}</div>;
  return <section style={{ ...place, overflow: "hidden", borderRadius: 2, background: theme.colors.background.primary, border: `1px solid ${theme.colors.border.weak}` }}>
    <div style={{ height: 20, padding: "6px 8px", fontWeight: 500, whiteSpace: "nowrap" }}>{panel.title}</div>
    <div style={{ padding: "0 8px" }}><Content panel={panel} width={width - 18} height={height - TITLE - GAP} /></div>
  </section>;
}

function Board() {
  const rows = Math.max(...board.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  React.useEffect(() => { setTimeout(() => { document.body.dataset.drawn = "true"; }, 500); }, []);
  return <ThemeContext.Provider value={theme}>
    <main style={{ position: "relative", width: WIDTH, height: rows * UNIT, fontSize: 14, color: theme.colors.text.primary }}>
      {board.panels.map((panel) => <Panel key={panel.id} panel={panel} />)}
    </main>
  </ThemeContext.Provider>;
}

createRoot(document.getElementById("root")).render(<Board />);
