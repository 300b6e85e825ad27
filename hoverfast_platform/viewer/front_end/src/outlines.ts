// What can be done with outlines: cutting one in two, making one of several.

export type Point = [number, number];
export type Ring = Point[];

/** Area of a ring, closed or not, whichever way it turns. */
export function area(ring: Ring): number {
  let twice = 0;
  ring.forEach(([x, y], i) => {
    const [nextX, nextY] = ring[(i + 1) % ring.length];
    twice += x * nextY - nextX * y;
  });
  return Math.abs(twice) / 2;
}

/** The smallest convex ring around all points (Andrew's monotone chain). */
export function hull(points: Point[]): Ring {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const chain = (those: Point[]): Ring => {
    const kept: Ring = [];
    for (const point of those) {
      while (kept.length > 1 && turn(kept[kept.length - 2], kept[kept.length - 1], point) <= 0) kept.pop();
      kept.push(point);
    }
    return kept.slice(0, -1);
  };
  return [...chain(sorted), ...chain(sorted.reverse())];
}

const turn = (a: Point, b: Point, c: Point): number => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);

/** The two parts of a ring, or null where the path does not cross it exactly twice. */
export function split(ring: Ring, path: Point[]): [Ring, Ring] | null {
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
