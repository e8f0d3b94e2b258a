using System.Diagnostics;

namespace Perf.Ctl.Tests;

/// <summary>etcdctl as a process, found on a PATH as after an installation.</summary>
internal sealed class ProcessShell(string program, string endpoint) : Shell
{
    protected internal override async Task<int> StartAsync(
        IReadOnlyList<string> words, Stream input, Stream output, Stream errors, CancellationToken interrupted)
    {
        var start = new ProcessStartInfo(program, words)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["ETCDCTL_API"] = "3";
        start.Environment["ETCDCTL_ENDPOINTS"] = endpoint;
        using Process process = Process.Start(start)!;
        Task reading = Task.WhenAll(
            process.StandardOutput.BaseStream.CopyToAsync(output, CancellationToken.None),
            process.StandardError.BaseStream.CopyToAsync(errors, CancellationToken.None));
        Task typing = TypeAsync(process, input, interrupted);
        try
        {
            await process.WaitForExitAsync(interrupted);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            await process.WaitForExitAsync(CancellationToken.None);
        }

        await reading;
        await typing;
        return process.ExitCode;
    }

    private static async Task TypeAsync(Process process, Stream input, CancellationToken interrupted)
    {
        byte[] typed = new byte[4096];
        try
        {
            // Each piece is passed on as it comes: CopyToAsync would keep it in the writer's buffer.
            for (int count; (count = await input.ReadAsync(typed, interrupted)) > 0;)
            {
                await process.StandardInput.BaseStream.WriteAsync(typed.AsMemory(0, count), interrupted);
                await process.StandardInput.BaseStream.FlushAsync(interrupted);
            }

            process.StandardInput.Close();
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or InvalidOperationException)
        {
            // It has ended without reading.
        }
    }
}
