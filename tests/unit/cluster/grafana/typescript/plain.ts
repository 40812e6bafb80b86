import type { AnnotationQuery, Dashboard, DataQuery } from "@grafana/schema";

// What the Prometheus data source adds to a query. Its own package has no types without all of Grafana's code.
export interface PrometheusQuery extends DataQuery {
  expr: string;
  format?: "time_series" | "table" | "heatmap";
  instant?: boolean;
  legendFormat?: string;
  range?: boolean;
}

export interface PrometheusDashboard extends Omit<Dashboard, "annotations"> {
  annotations?: { list?: AnnotationQuery<PrometheusQuery>[] };
}

// What JSON can say of a type: string enums as the strings that they stand for, numeric ones as any number.
export type Plain<T> = T extends string
  ? `${T}`
  : T extends number
    ? number
    : T extends Array<infer U>
      ? Array<Plain<U>>
      : T extends object
        ? { [K in keyof T]: Plain<T[K]> }
        : T;
