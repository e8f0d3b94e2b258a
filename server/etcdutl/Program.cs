using Perf.Etcdutl;

return Utl.Run(args, Console.Out, Console.Error, errorIsScreen: !Console.IsErrorRedirected);
