// What --dry-run prints.

internal import Conversion
internal import JSONText
internal import Tensors

/// What a plan says.
enum PlanReport {
    static func json(_ step: ConversionStep) -> JSONValue {
        var object: JSONObject = [
            "name": .string(step.target.name), "from": .string(step.from.rawValue),
            "to": .string(step.target.dtype.rawValue), "shape": Reports.shape(step.target.shape),
            "bytes": JSONValue(step.target.byteCount),
        ]
        if let reason = step.reason { object["reason"] = .string(reason) }
        return .object(object)
    }

    static func print(
        _ plan: ConversionPlan, schema: String, bytes: UInt64, json: Bool, explain: Bool = false, fileType: String? = nil
    ) {
        if json {
            var object: JSONObject = ["schema": .string(schema), "bytes": JSONValue(bytes)]
            if let fileType { object["file_type"] = .string(fileType) }
            object["tensors"] = .array(plan.steps.map(Self.json))
            Console.print(.object(object))
            return
        }
        var table = Table([.left, .left, .left, .left, .right] + (explain ? [.left] : []))
        for step in plan.steps {
            var row = [
                step.target.name, "\(step.target.shape)", "\(step.from)", "\(step.target.dtype)",
                Human.bytes(UInt64(step.target.byteCount)),
            ]
            if explain { row.append(step.reason ?? "") }
            table.add(row)
        }
        for line in table.lines() { Console.print(line) }
        Console.print("\(plan.steps.count) tensors, \(Human.count(Int(clamping: bytes))) bytes in all; nothing was written")
    }
}
