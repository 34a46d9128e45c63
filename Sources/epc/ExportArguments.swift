public import ArgumentParser
public import EPExport

extension Engine: ExpressibleByArgument {}
extension ExportTarget: ExpressibleByArgument {}
extension ExportRequest.Transfer: ExpressibleByArgument {}
