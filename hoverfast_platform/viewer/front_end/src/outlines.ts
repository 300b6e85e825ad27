// Cutting an outline in two along a drawn path.

type Point = [number, number];

/** The two parts of a ring, or null where the path does not cross it exactly twice. */
export function split(ring: Point[], path: Point[]): [Point[], Point[]] | null {
  const open = same(ring[0], ring[ring.length - 1]) ? ring.slice(0, -1) : ring;
  const crossings: { edge: number; along: number; leg: number; at: Point }[] = [];
  for (let leg = 0; leg + 1 < path.length; leg++) {
    for (let edge = 0; edge < open.length; edge++) {
      const at = crossing(path[leg], path[leg + 1], open[edge], open[(edge + 1) % open.length]);
      if (at) crossings.push({ edge, along: leg + at.t, leg, at: at.point });
    }
  }
  if (crossings.length !== 2) return null;
  crossings.sort((a, b) => a.along - b.along);
  const [first, second] = crossings;
  const inside = path.slice(first.leg + 1, second.leg + 1);
  const cut: Point[] = [first.at, ...inside, second.at];
  const walk = (from: number, to: number): Point[] => {
    const points: Point[] = [];
    for (let i = (from + 1) % open.length; ; i = (i + 1) % open.length) {
      points.push(open[i]);
      if (i === to || points.length > open.length) return points;
    }
  };
  if (first.edge === second.edge) return null;
  return [
    [...cut, ...walk(second.edge, first.edge)],
    [...[...cut].reverse(), ...walk(first.edge, second.edge)],
  ];
}

function crossing(a: Point, b: Point, c: Point, d: Point): { t: number; point: Point } | null {
  const [rx, ry] = [b[0] - a[0], b[1] - a[1]];
  const [sx, sy] = [d[0] - c[0], d[1] - c[1]];
  const across = rx * sy - ry * sx;
  if (across === 0) return null;
  const t = ((c[0] - a[0]) * sy - (c[1] - a[1]) * sx) / across;
  const u = ((c[0] - a[0]) * ry - (c[1] - a[1]) * rx) / across;
  if (t < 0 || t > 1 || u < 0 || u >= 1) return null;
  return { t, point: [a[0] + t * rx, a[1] + t * ry] };
}

const same = (a: Point, b: Point): boolean => a[0] === b[0] && a[1] === b[1];
