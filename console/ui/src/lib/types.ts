// What the API answers, by the names of its document (docs/openapi.json). `make ui` writes api.gen.ts.
import type { components } from './api.gen'

type Schemas = components['schemas']

export type Overview = Schemas['Overview']
export type Stage = Schemas['Stage']
export type StagePart = Schemas['StagePart']
export type Problem = Schemas['Problem']
export type Rates = Schemas['Rates']
export type Level = Stage['level']
/** A change; its `line` is JSON, to be read by lossless.parse. */
export type ChangeEvent = Schemas['Event']
export type EventList = Schemas['EventList']
export type EventDetail = Schemas['EventDetail']
export type JudgedRule = Schemas['JudgedRule']
export type Table = Schemas['Table']
export type TableList = Schemas['TableList']
export type TableDetail = Schemas['TableDetail']
export type Column = Schemas['Column']
export type Settings = Schemas['Settings']
export type Role = Schemas['Me']['role']
/** An error in an answer. */
export type Fault = Schemas['Error']
export type Delivery = Schemas['Delivery']
export type DeliveryList = Schemas['DeliveryList']
export type DeliveryDetail = Schemas['DeliveryDetail']
export type DeliveredRecord = Schemas['DeliveredRecord']
export type Resent = Schemas['Resent']
